"""CLAP laid out as a model of transformers: `scripts/upstream_clap.py`, and the merging of modules below it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from official_files import byte_level_gpt2, letters_bert, official_file

from afm_hf.conversion import msclap

ROOT = Path(__file__).parents[1]
COMMON = Path(sys.prefix) / "transformers-tests" / transformers.__version__ / "transformers_tests"
sys.path.insert(0, str(ROOT / "scripts"))

from upstream import layout, recipe  # noqa: E402 - it lies with the scripts
from upstream.cutting import cut  # noqa: E402

MODEL = f"src/transformers/models/{recipe.NAME}"


def lay_out(folder, *options):
    command = [sys.executable, str(ROOT / "scripts" / "upstream_clap.py"), "--output", str(folder), *options]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def files():
    """Texts of the model's files, as they are before they are formatted."""
    return layout.model_files()


def test_the_laid_out_model_gives_the_outputs_of_ours_for_converted_checkpoints(tmp_path):
    converted = []
    for variant, tokenizer in (("2023", byte_level_gpt2), ("2022", letters_bert)):
        words = tmp_path / f"words-{variant}"
        tokenizer(words)
        official = official_file(variant, tmp_path / f"CLAP_weights_{variant}.pth")
        converted.append(msclap.convert(str(official), str(words), str(tmp_path / f"converted-{variant}"), variant))
    done = lay_out(tmp_path / "out", "--no-tests", "--checkpoint", *map(str, converted))
    assert done.returncode == 0, done.stderr
    differences = re.findall(r"^CLAP .*, (.+): (\S+) of its scale from ours", done.stdout, re.MULTILINE)
    assert len(differences) == 4 * 6 and all(float(difference) <= 1e-5 for _, difference in differences)


def test_it_speaks_of_transformers_alone(files):
    for name, text in files.items():
        compile(text, name, "exec")
        assert not re.search(r"(?i)afm|mellow|pengi|adiff|thesis|bundled", text), name
        assert not re.search(r"^(?:from|import) transformers", text, re.MULTILINE), name


def test_names_are_imported_from_the_modules_that_define_them(files):
    modeling = files[f"modeling_{recipe.NAME}.py"]
    assert "from ...modeling_utils import PreTrainedModel\n" in modeling
    assert "from ..auto.modeling_auto import AutoModel\n" in modeling
    assert re.search(r"^from \.configuration_msclap import .*\bMSClapConfig\b", modeling, re.MULTILINE)


def test_the_patch_fits_the_installed_tables(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git applies the patch")
    target = tmp_path / "src" / "transformers" / "models"
    models = Path(transformers.__file__).parent / "models"
    for name in ("__init__.py", *(f"auto/{file}" for file in recipe.AUTO)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(models / name, target / name)
    (tmp_path / "patch").write_text(layout.auto_patch())
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", "patch"], cwd=tmp_path, check=True)
    scope = {}
    exec((target / "auto" / "auto_mappings.py").read_text(), scope)
    assert scope["CONFIG_MAPPING_NAMES"]["msclap_htsat"] == "MSClapHtsatConfig"
    assert scope["SPECIAL_MODEL_TYPE_TO_MODULE_NAME"]["msclap_htsat"] == "msclap"
    assert list(scope["PROCESSOR_MAPPING_NAMES"]) == sorted(scope["PROCESSOR_MAPPING_NAMES"])


SOURCE = '''
class Reader(Mixin, Base):
    """Reads.

    Args:
        rate, limit (`int`): Numbers.
        cache (`bool`):
            Whether it keeps
            what it has read.
    """

    def __init__(self, rate, limit=9, cache=True, **kwargs):
        self.rate = rate
        # kept for later
        self.cache = {} if cache else None

    def read(self, file):
        if self.cache is not None:
            return self.cache[file]
        return load(file, rate=half(self.rate, cache), cache=self.cache)
'''


def test_cutting_takes_the_smallest_part_that_mentions_a_name():
    assert (
        cut(SOURCE, ["cache", "Mixin", "limit"])
        == '''
class Reader(Base):
    """Reads.

    Args:
        rate (`int`): Numbers.
    """

    def __init__(self, rate, **kwargs):
        self.rate = rate

    def read(self, file):
        return load(file, rate=half(self.rate))
'''
    )


def test_a_recipe_that_no_longer_fits_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="storage"):
        cut(SOURCE, ["storage"])
    monkeypatch.setitem(recipe.REWRITTEN, "log_mel", (("no such words", ""),))
    with pytest.raises(ValueError, match=r"log_mel\.py has nothing like"):
        layout.prepared()


@pytest.mark.slow
def test_the_laid_out_tests_pass_in_the_installed_transformers(tmp_path):
    pytest.importorskip("parameterized")
    if not COMMON.is_dir():
        pytest.skip("transformers' common tests are not here; `python scripts/fetch_common_tests.py` fetches them")
    done = lay_out(tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout) and "failed" not in done.stdout
