"""Full-size parity of PAM with the authors' code, on the weights of CLAP 2023."""

import numpy as np
import pytest
from official import byte_level_gpt2, clip, full_size_checkpoint, golden
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

from afm_hf import AudioQualityAssessmentPipeline
from afm_hf.conversion.msclap import convert

pytestmark = pytest.mark.slow

SCORE = 1e-4  # tests/parity/README.md: similarities agree within 1e-3 from audio


class RecordedTokens:
    """Gives the recorded ids of the prompts: the tokenizer of the tests spells, and has other ids."""

    def __init__(self, tokenizer, record):
        self.tokenizer, self.record = tokenizer, record

    def __call__(self, texts, **kwargs):
        assert list(texts) == self.record["prompts"]
        made = self.tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        for name, ids in self.record["prompt_tokens"].items():
            made[name] = made[name].new_tensor(ids)
        return made


@pytest.fixture(scope="module")
def pam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pam")
    full_size_checkpoint("clap2023", folder / "official.pth")
    convert(str(folder / "official.pth"), byte_level_gpt2(folder / "tokenizer"), str(folder / "converted"))
    (folder / "official.pth").unlink()
    model = AutoModel.from_pretrained(folder / "converted").eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder / "converted")
    extractor.channels, extractor.resampler = "concat", "torchaudio"  # what the authors' wrapper does
    record, _ = golden("pam")
    tokenizer = AutoTokenizer.from_pretrained(folder / "converted")
    assess = AudioQualityAssessmentPipeline(model=model, feature_extractor=extractor, tokenizer=tokenizer)
    assess.tokenizer = RecordedTokens(tokenizer, record)
    return assess, record


@pytest.mark.parametrize(("segments", "part"), [("all", "full"), ("first", "repro")])
def test_every_golden_file_gets_the_official_score(pam, segments, part):
    assess, record = pam
    for place, name in enumerate(record["files"]):
        waveform, rate = clip(name)
        result = assess({"array": waveform, "sampling_rate": rate}, segments=segments)
        np.testing.assert_allclose(result["segment_scores"], record[part]["per_segment"][place], atol=SCORE)
        assert abs(result["score"] - record[part]["per_file"][place]) < SCORE, name
