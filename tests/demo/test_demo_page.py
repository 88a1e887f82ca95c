"""The page without a browser: it is built, serves its own files only, and tells errors in words."""

import time

import httpx
import pytest
from commands import run_command

gr = pytest.importorskip("gradio")
pytest.importorskip("matplotlib")

from afm_hf.demo import page as page_module  # noqa: E402
from afm_hf.demo.models import DemoModels  # noqa: E402
from afm_hf.demo.page import LIMITS, build_page, runner, serve  # noqa: E402


def test_all_tabs_are_there_and_every_input_is_labelled():
    page = build_page(DemoModels())
    blocks = page.blocks.values()
    tabs = [block.label for block in blocks if isinstance(block, gr.Tab)]
    assert tabs == ["Classify", "Caption and ask", "Difference", "Quality", "Test-time adaptation"]
    inputs = [b for b in blocks if isinstance(b, gr.Textbox | gr.Audio | gr.Radio | gr.Slider | gr.Checkbox | gr.File)]
    assert len(inputs) > 15 and all(block.label for block in inputs)


def test_the_limits_of_the_bundled_models_are_told_where_one_is_used(monkeypatch, tmp_path):
    def texts(models):
        return [block.value for block in build_page(models).blocks.values() if isinstance(block, gr.Markdown)]

    assert any("for trying things out" in text for text in texts(DemoModels()))
    folder = str(tmp_path)
    assert LIMITS not in texts(DemoModels(folder, folder, folder, folder))


def test_errors_become_messages_without_a_trace(capfd):
    def fail(models, error):
        raise error

    run = runner(None)(fail)
    for error, expected in (
        (ValueError("No labels <b>here</b>."), "No labels &lt;b&gt;here&lt;/b&gt;."),
        (OSError("no model"), "no model"),
        (KeyError("secret"), "KeyError"),
    ):
        with pytest.raises(gr.Error) as caught:
            run(error)
        assert expected in caught.value.message and "Traceback" not in caught.value.message
        assert 10 <= caught.value.duration <= 30  # time to read it, and then it is out of the way
        assert caught.value.print_exception is False and caught.value.__suppress_context__
    assert "secret" not in caught.value.message


def test_the_served_page_allows_and_names_no_other_server():
    page = build_page(DemoModels())
    try:
        address = serve(page, port=None, block=False)
        answer = httpx.get(address)
    finally:
        page.close(verbose=False)
    assert address.startswith("http://127.0.0.1:")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "fonts.googleapis" not in answer.text and "cdn" not in answer.text.lower().replace("cdnjs_", "")


@pytest.fixture(scope="module")
def address():
    """Of a page with one slow button, on which one job may wait."""
    with gr.Blocks() as page:
        gr.Button("wait").click(lambda: time.sleep(3), None, None, concurrency_id="models", concurrency_limit=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_module, "WAITING", 1)
        try:
            yield serve(page, port=None, block=False, hosts=["sounds.example"])
        finally:
            page.close(verbose=False)


def ask(address, **headers):
    return httpx.get(address, headers=headers).status_code


def send(address, **headers):
    job = {"data": [], "fn_index": 0, "session_hash": "x"}
    return httpx.post(f"{address}gradio_api/queue/join", json=job, headers=headers)


def test_only_names_of_this_machine_are_answered(address):
    port = address.rstrip("/").rpartition(":")[2]
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", "192.168.1.7:80", "[::1]:80", "sounds.example"):
        assert ask(address, Host=host) == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        assert ask(address, Host=host) == 403, host
    refused = httpx.get(address, headers={"Host": "my.proxy"})
    assert "--allow-host my.proxy" in refused.text and refused.headers["content-type"].startswith("text/plain")


def test_what_another_page_sends_is_refused(address):
    host = address.split("/")[2]
    for origin in ("https://evil.example", "null", "http://localhost:1", "http://127.0.0.1"):
        assert send(address, Origin=origin).status_code == 403, origin
        assert ask(address, Origin=origin) == 403, origin
    assert send(address, Origin=f"http://{host}").status_code == 200
    assert ask(address, Host="sounds.example", Origin="https://sounds.example") == 200


def test_a_full_queue_is_told_to_the_visitor_in_words(address):
    answers = [send(address) for _ in range(4)]
    full = next(answer for answer in answers if answer.status_code != 200)
    assert full.status_code == 429 and full.headers["retry-after"]
    assert full.json()["detail"].startswith("The page is busy: 1 jobs are waiting already")


def test_shared_and_in_a_space_every_name_is_answered(monkeypatch):
    page = build_page(DemoModels())
    monkeypatch.setenv("SPACE_ID", "me/sounds")
    try:
        address = serve(page, host=None, port=None, block=False)
        assert ask(address, Host="me-sounds.hf.space", Origin="https://me-sounds.hf.space") == 200
    finally:
        page.close(verbose=False)


def test_the_command_names_a_model_that_is_not_there():
    assert "no folder" in run_command("demo", "--model-ask", "./nowhere", code=2).output
