"""On a Ray cluster of two nodes the rows are those of one process, whoever is killed meanwhile."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import psutil
import pytest
from test_remote_files import write_shard
from tiny_models import CLIP_S, tiny_clap, write_tones

from afm_hf.retrieval import AudioIndex, ClapEmbedder, ClipStore, IndexMismatchError, embed_into_store
from afm_hf.retrieval.distributed import embed_with_ray

ray = pytest.importorskip("ray", reason='needs `pip install "afm-hf[ray]"`')
pytest.importorskip("lancedb", reason='needs `pip install "afm-hf[retrieval]"`')

pytestmark = pytest.mark.slow

AGENTS = ("metrics_agent_port", "runtime_env_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
POOLS = {"embedders": 1, "decoders": 1}


def node():
    """Two cores, and no more of Ray's own processes than there must be; they have 15 s to choose a port, so we do."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in AGENTS]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
    own = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_log_monitor": False}
    return {**own, **dict(zip(AGENTS, ports, strict=True))}


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_worker_niceness="0")  # else every other process on the machine goes first
    made = Cluster(initialize_head=True, head_node_args={**node(), "include_dashboard": False, "no_monitor": True})
    made.add_node(**node())
    ray.init(address=made.address, log_to_driver=False)
    assert ray.cluster_resources()["CPU"] == 4
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("model"))


@pytest.fixture
def clips(tmp_path):
    """Short and long clips, and a bad one."""
    folder = tmp_path / "clips"
    paths = [*write_tones(folder, 24), *write_tones(folder / "long", 2, seconds=3 * CLIP_S)]
    (folder / "bad.wav").write_text("no audio")
    return paths


def assert_same(found, expected):
    assert found.files == expected.files
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)


def test_two_nodes_make_the_table_of_one_process(cluster, clips, model, tmp_path):
    whole = embed_into_store(tmp_path / "clips", tmp_path / "one.lance", model, truncation="windows", device="cpu")
    options = {"truncation": "windows", **POOLS, "metadata": {"00.wav": {"label": "tone"}}}
    store = embed_with_ray(tmp_path / "clips", tmp_path / "ray.lance", model, **options)
    assert_same(store, whole)
    assert store.failures == whole.failures and list(store.failures) == [str(tmp_path / "clips" / "bad.wav")]
    query = ClapEmbedder(model, "cpu").embed_audio(clips[:1])
    assert [hit.columns for hit in store.search(query, where="label = 'tone'")[0]] == [{"label": "tone"}]
    clips[3].unlink()
    shutil.copyfile(clips[5], clips[4])
    version = store.table.version
    store = embed_with_ray(tmp_path / "clips", tmp_path / "ray.lance", model, **options)
    assert store.table.version > version and str(clips[3]) not in store.paths
    assert_same(store, embed_into_store(tmp_path / "clips", tmp_path / "one.lance", model, truncation="windows"))
    with pytest.raises(IndexMismatchError, match="--overwrite"):
        embed_with_ray(tmp_path / "clips", tmp_path / "ray.lance", model)


def test_windows_are_rows_as_in_one_process(cluster, clips, model, tmp_path):
    one = embed_into_store(clips[-2:], tmp_path / "one.lance", model, every_s=CLIP_S, device="cpu")
    two = embed_with_ray(map(str, clips[-2:]), tmp_path / "ray.lance", model, every_s=CLIP_S, **POOLS)
    assert_same(two, one)
    times = [sorted((row["start_s"], row["end_s"]) for row in each.rows(["start_s", "end_s"])) for each in (one, two)]
    np.testing.assert_allclose(*times, atol=1e-6)


def test_shards_by_uri_are_written_as_parquet_and_gone_on_with(cluster, clips, model, tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    write_shard(shards / "a.tar", clips[:6], [("bad.wav", b"no audio")])
    uri, output = shards.as_uri(), tmp_path / "emb.parquet"
    index = embed_with_ray(uri, output, model, **POOLS)
    assert index.paths == [f"{uri}/a.tar/deep/0{number}.wav" for number in range(6)]
    assert list(index.failures) == [f"{uri}/a.tar/bad.wav"]
    expected = ClapEmbedder(model, "cpu").embed_audio(clips[:6])
    np.testing.assert_allclose(AudioIndex.load(output).embeddings, expected, atol=1e-5)
    write_shard(shards / "b.tar", clips[6:8])
    (shards / "a.tar").unlink()
    index = embed_with_ray(uri, output, model, **POOLS)
    assert index.paths == [f"{uri}/b.tar/deep/0{number}.wav" for number in (6, 7)] and index.failures == {}


def kill_at_work(worker, wait_s=100):
    """Kills a worker of Ray amid a batch, which Ray writes behind its name, and not while it is being started."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                while f"({worker}))" in (title := "".join(process.cmdline()[:1])) and time.monotonic() < until:
                    if title.rstrip().endswith(".submit"):
                        process.kill()
                        return
                    time.sleep(0.005)  # a batch takes a fraction of a second
        time.sleep(0.05)


@pytest.mark.parametrize("worker", ["Decoder", "Embedder"])
def test_a_killed_worker_costs_nothing(cluster, clips, model, tmp_path, worker):
    whole = embed_into_store(tmp_path / "clips", tmp_path / "one.lance", model, device="cpu")
    killer = threading.Thread(target=kill_at_work, args=(worker,))
    killer.start()
    store = embed_with_ray(tmp_path / "clips", tmp_path / "ray.lance", model, batch_size=2, **POOLS)
    killer.join(0)
    assert not killer.is_alive(), f"no {worker} was at work"
    assert_same(store, whole)


def test_a_killed_driver_goes_on(cluster, clips, model, tmp_path):
    whole = embed_into_store(tmp_path / "clips", tmp_path / "one.lance", model, device="cpu")
    code = f"""
        import os, signal
        from afm_hf.retrieval import distributed
        append = distributed._append
        def dying(writer, block):
            result = append(writer, block)
            writer.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        distributed._append, distributed._UNITS_AT_A_TIME = dying, 5
        distributed.embed_with_ray({str(tmp_path / "clips")!r}, {str(tmp_path / "ray.lance")!r}, {str(model)!r},
                                   batch_size=1, embedders=1, decoders=1)
    """
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, timeout=400)
    assert done.returncode == -signal.SIGKILL
    before = len(ClipStore.load(tmp_path / "ray.lance"))
    assert 0 < before < len(whole)
    store = embed_with_ray(tmp_path / "clips", tmp_path / "ray.lance", model, batch_size=1, **POOLS)
    assert_same(store, whole)
