"""The page of `afm-hf demo` as a Hugging Face Space; `python app.py` serves it at home, too."""

from afm_hf.demo.models import DemoModels
from afm_hf.demo.page import build_page, serve

# Names of bundled models, or ids of repositories on the Hub. Nobody should wait for hours of audio of somebody else.
models = DemoModels(
    clap="clap-small", caption="pengi-small", ask="mellow-small", difference="adiff-small", max_duration_s=60
)

if __name__ == "__main__":
    serve(build_page(models), host=None, port=None)  # a Space says by its environment where to listen
