"""The seam of the feature extractor: where this package reads files, streams and bytes, transformers is given arrays.

The methods here take the place of their namesakes in `AfmFeatureExtractor`; everything around them (the settings and
their checks, the mel bank, the STFT, how clips are filled up) is that class's own text. It is no module to be imported.
"""
# ruff: noqa: F821 - names of the module that it is put into


class AfmFeatureExtractor:
    model_input_names = ["input_features"]

    def __call__(
        self,
        raw_speech: np.ndarray | list[float] | list[np.ndarray] | list[list[float]],
        sampling_rate: int | None = None,
        return_tensors: str | TensorType | None = None,
        padding: bool | str | None = None,
        truncation: bool | str | None = None,
        max_length_s: float | None = None,
        generator: torch.Generator | None = None,
        device: str | torch.device | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        r"""
        Makes the inputs of a model from one clip or a list of clips.

        Args:
            raw_speech (`np.ndarray`, `list[float]`, `list[np.ndarray]`, `list[list[float]]`):
                One mono clip of shape `(samples,)`, or several; a 2-D array is a batch of mono clips.
            sampling_rate (`int`, *optional*):
                The rate of the clips in Hz, which must be the extractor's. It is strongly recommended to pass it.
            return_tensors (`str` or [`~utils.TensorType`], *optional*): `"pt"` or `"np"`.
            padding, truncation, max_length_s (*optional*):
                Override the extractor's own settings for this call. Booleans and the tokenizers' names of paddings (a
                processor passes them to both sides) leave the setting as it is.
            generator (`torch.Generator`, *optional*):
                Source of the random crops; without it torch's global generator.
            device (`str` or `torch.device`, *optional*): Where the spectrograms are computed.

        Returns:
            [`BatchFeature`] with `input_features` of shape `(batch, 1, frames, feature_size)`, float32, in dB.
        """
        if sampling_rate is None:
            logger.warning(
                f"It is strongly recommended to pass the `sampling_rate` argument to `{type(self).__name__}()`. "
                "Failing to do so can result in silent errors that might be hard to debug."
            )
        elif sampling_rate != self.sampling_rate:
            raise ValueError(
                f"The model corresponding to this feature extractor: {type(self).__name__} was trained using a "
                f"sampling rate of {self.sampling_rate}. Please make sure that the provided `raw_speech` input was "
                f"sampled with {self.sampling_rate} and not {sampling_rate}."
            )
        truncation = _setting("truncation", truncation, TRUNCATIONS, self.truncation)
        padding = _setting("padding", padding, PADDINGS, self.padding)
        length = self._clip_length(self.max_length_s if max_length_s is None else max_length_s)
        crops = [self._crop(clip, length, truncation, generator) for clip in _as_clips(raw_speech)]
        waveforms = torch.stack([self.fill(crop, length, padding) for crop in crops])  # (batch, samples)
        log_mels = self.log_mel(waveforms, "cpu" if device is None else device).unsqueeze(1)
        return BatchFeature({"input_features": log_mels.cpu().numpy()}, tensor_type=return_tensors)

    def _crop(
        self, clip: torch.Tensor, length: int, truncation: str, generator: torch.Generator | None
    ) -> torch.Tensor:
        """The part of a clip that is taken, at most `(length,)`."""
        surplus = max(0, len(clip) - length)
        start = {"first": 0, "center": surplus // 2}.get(truncation, 0)
        if truncation == "random" and surplus:
            start = int(torch.randint(surplus + 1, (), generator=generator))
        return clip[start : start + length]


def _as_clips(raw_speech: Any) -> list[torch.Tensor]:
    """Clips of shape `(samples,)`, float32, from one clip or a batch."""
    if isinstance(raw_speech, torch.Tensor):
        raw_speech = raw_speech.detach().cpu().numpy()
    is_one = np.ndim(raw_speech[0]) == 0 if len(raw_speech) else True
    clips = [torch.as_tensor(np.asarray(clip, dtype=np.float32)) for clip in ([raw_speech] if is_one else raw_speech)]
    for clip in clips:
        if clip.ndim != 1 or not len(clip):
            raise ValueError(f"A clip is mono audio of shape (samples,), but one has shape {tuple(clip.shape)}.")
    return clips
