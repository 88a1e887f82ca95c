"""A small web service that says which of your labels fits a clip.

    pip install fastapi uvicorn
    uvicorn serve:app --app-dir examples
    curl --data-binary @clip.wav "http://127.0.0.1:8000/classify?label=rain&label=cow%20mooing"

The model is loaded once, before the first request; `AFM_HF_MODEL` names another (a folder or a Hub id). Clips are
decoded side by side, and go through the model one after the other: nobody promises that a pipeline can be called by
several threads at once, and a forward pass uses all cores anyhow. What a stranger sends is bounded, in bytes while it
arrives and in seconds before it is decoded, and nothing of it is written to disk.
"""

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from transformers import pipeline

import afm_hf
from afm_hf.hub.loading import resolve_model

MODEL = os.environ.get("AFM_HF_MODEL", "clap-small")
MOST_BYTES = 20_000_000
MOST_SECONDS = 120
MOST_LABELS = 1000

state: dict[str, Any] = {}
one_at_a_time = threading.Lock()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The model is there before the first request, and warm."""
    state["classify"] = pipeline("zero-shot-audio-classification", model=resolve_model(MODEL))
    classify(afm_hf.bundled_audio()[0].read_bytes(), ["rain"])
    yield
    state.clear()


app = FastAPI(title="afm-hf", lifespan=lifespan)


def classify(content: bytes, labels: list[str]) -> list[dict[str, Any]]:
    """Labels with scores, best first."""
    pipe = state["classify"]
    rate = pipe.feature_extractor.sampling_rate
    waveform = afm_hf.load_audio(content, rate, max_duration_s=MOST_SECONDS, name="the clip")
    with one_at_a_time:
        result: list[dict[str, Any]] = pipe({"array": waveform, "sampling_rate": rate}, candidate_labels=labels)
    return result


async def body_of(request: Request) -> bytes:
    """What was sent, or an error as soon as it is too much."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise HTTPException(413, f"The clip has more than {MOST_BYTES} bytes.")
    return bytes(content)


@app.get("/health")
def health() -> dict[str, str]:
    """Whether the model is there."""
    return {"status": "ready" if state else "loading", "model": MODEL, "version": afm_hf.__version__}


@app.post("/classify")
async def classify_clip(
    request: Request, label: Annotated[list[str], Query(min_length=1, max_length=MOST_LABELS)]
) -> dict[str, Any]:
    """The clip is the body of the request, in any format that soundfile reads; `label` is given once for each label."""
    content = await body_of(request)
    try:
        return {"model": MODEL, "labels": await run_in_threadpool(classify, content, label)}
    except ValueError as error:  # also AudioDecodeError: it says what is wrong with the clip, or with a label
        raise HTTPException(422, str(error)) from error
