"""Testing suite for the PyTorch Microsoft CLAP model."""

import tempfile
import unittest

from transformers import (
    BertConfig,
    GPT2Config,
    MSClapAudioConfig,
    MSClapCnn14Config,
    MSClapConfig,
    MSClapHtsatConfig,
    MSClapTextConfig,
)
from transformers.testing_utils import require_torch, slow, torch_device
from transformers.utils import is_torch_available

from ...test_configuration_common import ConfigTester
from ...test_modeling_common import ModelTesterMixin, floats_tensor, ids_tensor, random_attention_mask
from ...test_pipeline_mixin import PipelineTesterMixin


if is_torch_available():
    import torch
    from torch import nn

    from transformers import (
        MSClapAudioModel,
        MSClapAudioModelWithProjection,
        MSClapCnn14Model,
        MSClapHtsatModel,
        MSClapModel,
        MSClapTextModel,
        MSClapTextModelWithProjection,
    )


class MSClapAudioModelTester:
    """`kind` is the encoder: "htsat" or "cnn14", alone or in its tower."""

    def __init__(self, parent, kind="htsat", in_tower=False, batch_size=7, frames=64, num_mel_bins=16):
        self.parent = parent
        self.kind = kind
        self.in_tower = in_tower
        self.batch_size = batch_size
        self.frames = frames
        self.num_mel_bins = num_mel_bins
        self.is_training = False
        self.num_hidden_layers = 2
        if kind == "htsat":
            # the first hidden state holds the patches of a 64 x 64 image
            self.hidden_size, self.seq_length, self.num_attention_heads = 8, 256, 1
            self.patches_per_window = 16
        else:
            self.hidden_size, self.seq_length = 16, 64

    def get_encoder_config(self):
        if self.kind == "cnn14":
            return MSClapCnn14Config(
                num_mel_bins=self.num_mel_bins, block_channels=[4, 8], pool_sizes=[2, 2], hidden_size=16
            )
        return MSClapHtsatConfig(
            spec_size=64,
            num_mel_bins=self.num_mel_bins,
            embed_dim=self.hidden_size,
            depths=[1, 1],
            num_attention_heads=[1, 2],
            window_size=4,
        )

    def get_config(self):
        if self.in_tower:
            return MSClapAudioConfig(encoder_config=self.get_encoder_config(), projection_dim=12)
        return self.get_encoder_config()

    def prepare_config_and_inputs(self):
        features = floats_tensor([self.batch_size, 1, self.frames, self.num_mel_bins], scale=40.0) - 50.0
        return self.get_config(), features

    def prepare_config_and_inputs_for_common(self):
        config, features = self.prepare_config_and_inputs()
        return config, {"input_features": features}


class MSClapAudioTests(ModelTesterMixin):
    """What the tests of both encoders and of the tower share: there are no words, and attention is within windows."""

    test_resize_embeddings = False

    def test_config(self):
        config_class = type(self.model_tester.get_config())
        common = ["hidden_size", "num_hidden_layers"]
        ConfigTester(
            self, config_class=config_class, has_text_modality=False, common_properties=common
        ).run_common_tests()

    def test_attention_outputs(self):
        if not self.has_attentions:
            self.skipTest(reason="Cnn14 attends to nothing")
        self.model_tester.seq_length = self.model_tester.patches_per_window
        super().test_attention_outputs()

    def test_model_get_set_embeddings(self):
        """The first layer is a convolution."""
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            model = model_class(config)
            first = model.get_input_embeddings()
            self.assertIsInstance(first, nn.Conv2d)
            other = nn.Conv2d(first.in_channels, first.out_channels, first.kernel_size)
            model.set_input_embeddings(other)
            self.assertIs(model.get_input_embeddings(), other)


@require_torch
class MSClapHtsatModelTest(MSClapAudioTests, unittest.TestCase):
    all_model_classes = (MSClapHtsatModel,) if is_torch_available() else ()

    def setUp(self):
        self.model_tester = MSClapAudioModelTester(self)

    def test_long_input_is_averaged_over_windows(self):
        config = self.model_tester.get_config()
        model = MSClapHtsatModel(config).to(torch_device).eval()
        long = floats_tensor([2, 1, config.max_frames + 50, config.num_mel_bins])
        length, hop = config.long_window_frames, config.long_window_hop
        starts = [*range(0, long.shape[2] - length - 1, hop)]
        starts += [long.shape[2] - length] if starts[-1] + length < long.shape[2] else []
        with torch.no_grad():
            windows = [model(long[:, :, start : start + length]).pooler_output for start in starts]
            torch.testing.assert_close(
                model(long).pooler_output, torch.stack(windows).mean(dim=0), rtol=1e-4, atol=1e-5
            )


@require_torch
class MSClapCnn14ModelTest(MSClapAudioTests, unittest.TestCase):
    all_model_classes = (MSClapCnn14Model,) if is_torch_available() else ()
    has_attentions = False

    def setUp(self):
        self.model_tester = MSClapAudioModelTester(self, "cnn14")

    @unittest.skip(reason="Cnn14 attends to nothing")
    def test_eager_matches_sdpa_inference(self):
        pass


@require_torch
class MSClapAudioModelTest(MSClapAudioTests, unittest.TestCase):
    all_model_classes = (MSClapAudioModel, MSClapAudioModelWithProjection) if is_torch_available() else ()

    def setUp(self):
        self.model_tester = MSClapAudioModelTester(self, in_tower=True)


class MSClapTextModelTester:
    def __init__(self, parent, kind="gpt2", batch_size=7, seq_length=9):
        self.parent = parent
        self.kind = kind
        self.batch_size = batch_size
        self.seq_length = seq_length
        self.vocab_size = 99
        self.hidden_size = 16
        self.num_hidden_layers = 1
        self.num_attention_heads = 2
        self.is_training = False

    def get_config(self):
        if self.kind == "bert":
            encoder = BertConfig(
                vocab_size=self.vocab_size,
                hidden_size=self.hidden_size,
                num_hidden_layers=self.num_hidden_layers,
                num_attention_heads=self.num_attention_heads,
                intermediate_size=16,
                max_position_embeddings=64,
            )
        else:
            encoder = GPT2Config(
                vocab_size=self.vocab_size,
                n_positions=64,
                n_embd=self.hidden_size,
                n_layer=self.num_hidden_layers,
                n_head=self.num_attention_heads,
                bos_token_id=self.vocab_size - 1,
                eos_token_id=self.vocab_size - 1,
            )
        pooling = "cls" if self.kind == "bert" else "last_token"
        return MSClapTextConfig(encoder_config=encoder, pooling=pooling, projection_dim=12)

    def prepare_config_and_inputs(self):
        input_ids = ids_tensor([self.batch_size, self.seq_length], self.vocab_size)
        attention_mask = random_attention_mask([self.batch_size, self.seq_length])
        return self.get_config(), input_ids, attention_mask

    def prepare_config_and_inputs_for_common(self):
        config, input_ids, attention_mask = self.prepare_config_and_inputs()
        return config, {"input_ids": input_ids, "attention_mask": attention_mask}


@require_torch
class MSClapTextModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (MSClapTextModel, MSClapTextModelWithProjection) if is_torch_available() else ()

    def setUp(self):
        self.model_tester = MSClapTextModelTester(self)
        self.config_tester = ConfigTester(
            self,
            config_class=MSClapTextConfig,
            has_text_modality=False,
            common_properties=["hidden_size", "num_hidden_layers", "vocab_size"],
        )

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_padding_on_either_side_changes_nothing(self):
        model = MSClapTextModelWithProjection(self.model_tester.get_config()).to(torch_device).eval()
        words, padding = ids_tensor([2, 5], 90), torch.zeros(2, 3, dtype=torch.long, device=torch_device)
        ones = torch.ones_like(words)
        with torch.no_grad():
            alone = model(words, ones).text_embeds
            for side in (lambda *parts: torch.cat(parts, dim=1), lambda *parts: torch.cat(parts[::-1], dim=1)):
                padded = model(side(words, padding), side(ones, padding)).text_embeds
                torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-5)


class MSClapModelTester:
    """CLAP 2023 is HTSAT and GPT-2, CLAP 2022 Cnn14 and BERT."""

    def __init__(self, parent, audio="htsat", text="gpt2", is_training=True):
        self.parent = parent
        self.audio_model_tester = MSClapAudioModelTester(parent, audio, in_tower=True)
        self.text_model_tester = MSClapTextModelTester(parent, text)
        self.batch_size = self.text_model_tester.batch_size
        self.is_training = is_training

    def get_config(self):
        return MSClapConfig(
            audio_config=self.audio_model_tester.get_config(), text_config=self.text_model_tester.get_config()
        )

    def prepare_config_and_inputs_for_common(self):
        _, texts = self.text_model_tester.prepare_config_and_inputs_for_common()
        _, audios = self.audio_model_tester.prepare_config_and_inputs_for_common()
        return self.get_config(), {**texts, **audios, "return_loss": True}


@require_torch
class MSClapModelTest(ModelTesterMixin, PipelineTesterMixin, unittest.TestCase):
    all_model_classes = (MSClapModel,) if is_torch_available() else ()
    pipeline_model_mapping = (
        {"feature-extraction": MSClapModel, "zero-shot-audio-classification": MSClapModel}
        if is_torch_available()
        else {}
    )
    additional_model_inputs = ["input_features"]
    _is_composite = True
    # The state of the last layer is as wide as the encoder, and not as the space of both towers.
    skip_test_audio_features_output_shape = True

    def setUp(self):
        self.model_tester = MSClapModelTester(self)
        self.config_tester = ConfigTester(
            self, config_class=MSClapConfig, has_text_modality=False, common_properties=["hidden_size"]
        )

    def test_config(self):
        del self.model_tester
        self.config_tester.run_common_tests()

    @unittest.skip(reason="Those of the towers are tested in individual model tests")
    def test_hidden_states_output(self):
        pass

    @unittest.skip(reason="Those of the towers are tested in individual model tests")
    def test_attention_outputs(self):
        pass

    @unittest.skip(reason="Those of the towers are tested in individual model tests")
    def test_retain_grad_hidden_states_attentions(self):
        pass

    def test_model(self):
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        model = MSClapModel(config).to(torch_device).eval()
        with torch.no_grad():
            result = model(**inputs)
        count = self.model_tester.batch_size
        self.assertEqual(result.logits_per_audio.shape, (count, count))
        torch.testing.assert_close(result.logits_per_text, result.logits_per_audio.t())
        torch.testing.assert_close(result.audio_embeds.norm(dim=-1), torch.ones(count, device=torch_device))
        targets = torch.arange(count, device=torch_device)
        expected = (
            nn.functional.cross_entropy(result.logits_per_audio, targets)
            + nn.functional.cross_entropy(result.logits_per_text, targets)
        ) / 2
        torch.testing.assert_close(result.loss, expected)

    def test_load_audio_and_text_models(self):
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        model = MSClapModel(config).to(torch_device).eval()
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            model.save_pretrained(folder)
            audio = MSClapAudioModelWithProjection.from_pretrained(
                folder, config=config.audio_config, key_mapping=None
            ).to(torch_device)
            embeds = nn.functional.normalize(audio(inputs["input_features"]).audio_embeds, dim=-1)
            expected = model.get_audio_features(inputs["input_features"]).pooler_output
        torch.testing.assert_close(embeds, expected, rtol=1e-4, atol=1e-5)


@require_torch
class MSClap2022ModelTest(MSClapModelTest):
    pipeline_model_mapping = {}

    def setUp(self):
        super().setUp()
        self.model_tester = MSClapModelTester(self, "cnn14", "bert")

    @unittest.skip(reason="Cnn14 attends to nothing")
    def test_get_audio_features_attentions(self):
        pass


@slow
@require_torch
class MSClapModelIntegrationTest(unittest.TestCase):
    """To be filled once the official weights have a place on the Hub; see the notes of the pull request."""
