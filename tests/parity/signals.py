"""Synthetic test signals: float64 formulas quantised to int16 (round half to even of 32767*x). numpy only."""

import hashlib, wave
import numpy as np


def noise(n, seed):
    """Uniform [-1, 1), pure 32-bit integer hashing of the sample index."""
    m = np.uint64(0xFFFFFFFF)
    h = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed)) & m
    for mul in (0x7FEB352D, 0x846CA68B):
        h = ((h ^ (h >> np.uint64(16))) * np.uint64(mul)) & m
    h = h ^ (h >> np.uint64(15))
    return h.astype(np.float64) / 2147483648.0 - 1.0


def sweep(t, f0, f1, T, amp):
    return amp * np.sin(2 * np.pi * (f0 * t + (f1 - f0) * t * t / (2 * T)))


def pulses(t, period, f, decay, amp):
    u = np.mod(t, period)
    return amp * np.exp(-decay * u) * np.sin(2 * np.pi * f * u)


def chord(t, freqs, am, amp):
    return amp * (0.6 + 0.4 * np.sin(2 * np.pi * am * t)) * sum(np.sin(2 * np.pi * f * t) for f in freqs) / len(freqs)


def make(spec):
    """spec: dict(sr, n, parts=[[kind, args...], ...], channels=[[part indices], ...], gate=[t0, t1] or None) -> int16 (n, channels)."""
    sr, n = spec["sr"], spec["n"]
    t = np.arange(n, dtype=np.float64) / sr
    parts = []
    for kind, *a in spec["parts"]:
        if kind == "sweep":
            parts.append(sweep(t, a[0], a[1], n / sr, a[2]))
        elif kind == "pulses":
            parts.append(pulses(t, *a))
        elif kind == "chord":
            parts.append(chord(t, *a))
        elif kind == "noise":
            parts.append(a[1] * noise(n, a[0]))
    x = np.stack([sum(parts[i] for i in idx) for idx in spec["channels"]], 1)
    if spec.get("gate"):
        x = x * ((t >= spec["gate"][0]) & (t < spec["gate"][1]))[:, None]
    return np.rint(np.clip(x, -1, 1) * 32767).astype("<i2")


def sha(x):
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()


def write_wav(path, x, sr):
    with wave.open(str(path), "wb") as w:
        w.setnchannels(x.shape[1])
        w.setsampwidth(2)
        w.setframerate(sr)
        w.writeframes(np.ascontiguousarray(x).tobytes())
