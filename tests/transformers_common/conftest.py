"""The marks that transformers' common tests carry, and those of the tests that can say nothing of models that hear."""

import re

MARKS = ("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test", "order")
NOT_OURS = {
    r"^(?!.*_audio$).*(image|video|vision|visual)": "none of our models sees",
    r"experts|router|grouped_inference": "none is a mixture of experts",
    r"deepspeed": "DeepSpeed needs several GPUs",
    r"_rope|sliding_window|position_vector": "rotary and other positions are the language models' own",
    r"encoder_decoder|feed_forward_chunking": "none has a decoder that attends to an encoder, nor chunks",
    r"reverse_loading_mapping|already_mapped_keys": "no weight is renamed while it is loaded",
    r"tool_calls": "Mellow calls no tools",
    r"chat_template_message_objects": "asks with a picture; clips are in tests/models/mellow/test_processing_mellow.py",
}
ATTENDING = re.compile("eager_matches_sdpa|attention_outputs|flash")


def pytest_configure(config):
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: one of transformers' common tests")


def says_nothing(item):
    if item.path.parent.name != "transformers_common":
        return False
    attends = getattr(item.cls, "has_attentions", True)
    return any(re.search(pattern, item.name) for pattern in NOT_OURS) or (not attends and ATTENDING.search(item.name))


def pytest_collection_modifyitems(config, items):
    """Leaves them out before they run: more than a thousand lines that say why not would hide all others."""
    left_out = [item for item in items if says_nothing(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
