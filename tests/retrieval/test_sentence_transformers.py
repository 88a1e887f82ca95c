"""CLAP in sentence-transformers: the same embeddings, similarities, and training of what it trains."""

import copy
import json
import os
import subprocess
import sys

import datasets
import numpy as np
import pytest
import soundfile
import torch
from tiny_models import CLIP_S, RATE, clap_config, clap_parts, tiny_clap, tone, write_tones
from transformers import AutoModel, AutoProcessor

import afm_hf
from afm_hf import ClapAfmModel, ClapAfmProcessor
from afm_hf.hub.code import save_with_code
from afm_hf.retrieval import ClapEmbedder

sentence_transformers = pytest.importorskip("sentence_transformers", "5.4", reason="sentence-transformers >= 5.4")
TEXTS = ["rain", "a dog barks", "an engine that idles while birds sing in the trees beside the road"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return [str(path) for path in write_tones(tmp_path_factory.mktemp("clips"), count=6)]


@pytest.fixture
def model(folder):
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu")


@pytest.fixture
def ours(folder):
    return ClapEmbedder(folder, "cpu")


def same(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


def test_texts_and_files_are_embedded_as_by_ourselves(model, ours, clips):
    assert model.modalities == ["text", "audio"] and model.get_embedding_dimension() == ours.width
    same(model.encode(TEXTS), ours.embed_text(TEXTS))
    same(model.encode(clips), ours.embed_audio(clips))
    same(model.encode(clips[0]), ours.embed_audio(clips[0])[0])
    same(np.linalg.norm(model.encode(clips), axis=1), np.ones(len(clips)))
    same(model.similarity(model.encode(clips), model.encode(TEXTS)), ours.embed_audio(clips) @ ours.embed_text(TEXTS).T)


def test_texts_that_are_too_long_are_cut_alike():
    small = afm_hf.bundled_model("clap-small")
    text = "an engine that idles " * 60
    model = sentence_transformers.SentenceTransformer(str(small), device="cpu")
    same(model.encode([text, "rain"]), ClapEmbedder(small, "cpu").embed_text([text, "rain"]))


def test_samples_are_read_at_their_rate(model, ours):
    at_16k = {"array": tone(440, rate=16_000), "sampling_rate": 16_000}
    same(model.encode([at_16k, {"audio": at_16k}]), ours.embed_audio([at_16k, at_16k]))
    wrong = {**at_16k, "sampling_rate": 4000}
    assert model.similarity(model.encode([at_16k]), model.encode([wrong])) < 0.999
    stereo = {"array": np.stack([tone(440), tone(880, seed=1)]), "sampling_rate": RATE}
    same(model.encode([stereo]), ours.embed_audio([stereo]))
    same(model.encode([{**at_16k, "array": torch.as_tensor(at_16k["array"])}]), ours.embed_audio([at_16k]))


def test_decoders_of_datasets_are_audio(model, ours, monkeypatch):
    class Decoder:
        """What sentence-transformers asks of torchcodec's `AudioDecoder`."""

        def get_all_samples(self):
            samples = torch.as_tensor(np.stack([tone(300, rate=16_000)] * 2))
            return type("Samples", (), {"data": samples, "sample_rate": 16_000})

    monkeypatch.setattr("sentence_transformers.base.modality.AudioDecoder", Decoder)
    same(model.encode([Decoder()]), ours.embed_audio([{"array": tone(300, rate=16_000), "sampling_rate": 16_000}]))


@pytest.mark.parametrize("truncation", ["first", "windows"])
def test_long_clips_are_heard_alike(folder, clips, tmp_path, truncation):
    processor = AutoProcessor.from_pretrained(folder)
    processor.feature_extractor.truncation = truncation
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "model"), device="cpu")
    long = np.concatenate([tone(200 * (index + 1), seed=index) for index in range(9)])
    soundfile.write(tmp_path / "long.wav", long, RATE)
    given = [str(tmp_path / "long.wav"), *clips[:2]]
    same(model.encode(given), ClapEmbedder(tmp_path / "model", "cpu").embed_audio(given))
    asked = model.encode(given, processing_kwargs={"audio": {"truncation": "windows"}})
    same(asked, ClapEmbedder(tmp_path / "model", "cpu").embed_audio(given, truncation="windows"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["gone.wav"], r"gone.wav"),
        (["clip.opus"], "name of a recording"),  # an ending that sentence-transformers takes for words
        ([{"audio": "gone.wav"}], "gone.wav"),
        ([{"array": tone(300), "sampling_rate": -8000}], "-8000 Hz"),
        ([{"array": tone(300), "sampling_rate": 16_000}, {"array": tone(300), "sampling_rate": 8000}], "rates"),
        ([{"array": tone(300)}], "sampling_rate"),
        ([{"array": np.zeros(4000, np.float32), "sampling_rate": 8000}], "silent"),
        (["rain", tone(300)], "mixes"),
    ],
)
def test_what_cannot_be_embedded_is_an_error(model, given, message):
    with pytest.raises(ValueError, match=message):
        model.encode(given)


def test_a_file_of_an_ending_that_it_does_not_know_is_no_words(model, ours, tmp_path):
    path = str(tmp_path / "a clip.aif")
    soundfile.write(path, tone(300), RATE, format="AIFF")
    with pytest.raises(ValueError, match="name of a recording"):
        model.encode([path])
    same(model.encode([{"audio": path}]), ours.embed_audio([path]))


def test_our_files_say_what_it_finds_by_itself(folder, tmp_path):
    bare = tiny_clap(tmp_path / "bare")
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (bare / name).unlink()
    found = sentence_transformers.SentenceTransformer(str(bare), device="cpu")
    found.save_pretrained(str(tmp_path / "saved"))
    for name in ("modules.json", "sentence_bert_config.json"):
        assert json.loads((tmp_path / "saved" / name).read_text()) == json.loads((folder / name).read_text())


def test_what_it_saves_is_an_ordinary_model(model, ours, clips, tmp_path):
    model.prompts["query"] = "this is a sound of "
    model.save_pretrained(str(tmp_path))
    same(ClapEmbedder(tmp_path, "cpu").embed_audio(clips), ours.embed_audio(clips))
    again = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    same(again.encode_query(["rain"]), ours.embed_text(["this is a sound of rain"]))
    # saving with transformers into its folder leaves its files as they are
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    again = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    assert again.prompts["query"] == "this is a sound of "


def loss_of_pairs(model, clips, texts):
    """Of the trainer's loss, with all pairs in one batch and nothing random in the model."""
    cosines = model.similarity(model.encode(clips), model.encode(texts))
    return float(torch.nn.functional.cross_entropy(20 * cosines, torch.arange(len(clips))))


def test_its_trainer_teaches_both_towers(clips, tmp_path):
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    _, tokenizer, extractor = clap_parts()
    ClapAfmModel(clap_config()).save_pretrained(tmp_path / "new")
    ClapAfmProcessor(extractor, tokenizer).save_pretrained(tmp_path / "new")
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "new"), device="cpu")
    texts = ["one", "two twos", "three of them", "four", "five fives", "six"]
    rows = datasets.Dataset.from_dict({"audio": clips, "text": texts})
    before, first = copy.deepcopy(model.state_dict()), loss_of_pairs(model, clips, texts)
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "run"), max_steps=60, per_device_train_batch_size=6, learning_rate=3e-3, save_strategy="no",
        use_cpu=True, report_to=[], disable_tqdm=True, seed=0,
    )  # fmt: skip
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model, arguments, train_dataset=rows, loss=loss).train()
    assert loss_of_pairs(model, clips, texts) < 0.5 * first
    still = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
    assert still == ["0.model.logit_scale"]  # this loss has a scale of its own, which it does not learn
    model.save_pretrained(str(tmp_path / "trained"))
    same(ClapEmbedder(tmp_path / "trained", "cpu").embed_text(texts), model.encode(texts))


@pytest.mark.slow
def test_several_processes_give_the_same(model, ours, clips):
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    try:
        same(model.encode(clips, pool=pool, chunk_size=2), ours.embed_audio(clips))
        same(model.encode(TEXTS, pool=pool, chunk_size=1), ours.embed_text(TEXTS))
    finally:
        model.stop_multi_process_pool(pool)


@pytest.mark.slow
def test_a_repo_with_code_needs_no_package(folder, ours, tmp_path):
    save_with_code(AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder), tmp_path / "coded")
    soundfile.write(tmp_path / "clip.wav", tone(500, 2 * CLIP_S), RATE)
    program = """
        import sys, json
        sys.modules["afm_hf"] = None  # as if it were not installed
        from sentence_transformers import SentenceTransformer
        model = SentenceTransformer("coded", device="cpu", trust_remote_code=True)
        print(json.dumps([model.encode(["clip.wav"]).tolist(), model.encode(["rain"]).tolist()]))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in program.splitlines())],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    audio, text = json.loads(done.stdout.splitlines()[-1])
    same(audio, ours.embed_audio([str(tmp_path / "clip.wav")]))
    same(text, ours.embed_text(["rain"]))
