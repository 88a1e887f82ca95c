"""What answers requests in tests: a tiny language model, a server on this machine, and texts that are known."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from tiny_models import byte_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
ITEMS = {  # by a word of the request
    "three wrong answers": {
        "question": "Which animal is in the rain?",
        "answer": "a dog",
        "wrong": ["a cat", "a cow", "a bird"],
    },
    "its answer": {"question": "What is the animal doing?", "answer": "The dog barks loudly at the rain."},
    "one short sentence": {"difference": "The first has a dog outside in the rain; the second a dog too, but quieter."},
    "one long sentence": {
        "difference": "The first audio has the loud and sudden barks of a dog in the rain, while the second audio is "
        "the same animal much farther away and softer, with a steady noise of water."
    },
    "one paragraph": {
        "difference": "In the first audio a dog barks close by, and drops of rain fall evenly around it. The barks are "
        "sharp and come at once. In the second audio the animal is farther off, its voice is soft, and the water is "
        "what is mostly heard. One is alarming, the other rather calm and sleepy."
    },
    "certainly true": {"hypothesis": "A hound sits under a cloudy sky."},
    "may be true": {"hypothesis": "The dog belongs to a farmer who is away."},
    "certainly false": {"hypothesis": "A choir sings in a silent church."},
}


def known_item(request):
    """The item for a request, by its words."""
    task = request.messages[-1]["content"]
    return next(item for words, item in ITEMS.items() if words in task)


def tiny_llama(folder, template=TEMPLATE):
    """A random language model of bytes, saved with its tokenizer."""
    tokenizer = byte_tokenizer(eos_token="<pad>")
    tokenizer.chat_template = template
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=257, max_position_embeddings=8192, eos_token_id=256, pad_token_id=256, **sizes)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@contextlib.contextmanager
def chat_server(answer):
    """A server of chat completions; `answer` gets each request's body and headers, and gives status, body, headers."""
    bodies, lock = [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                bodies.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
                status, said, headers = answer(len(bodies), body)
            content = json.dumps(said).encode() if not isinstance(said, bytes) else said
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1", bodies
        finally:
            server.shutdown()
            thread.join()


def completion(text):
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}}]}, {}
