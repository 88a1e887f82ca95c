"""Audio foundation models for reasoning, as transformers models.

The public names are those of `__init__.pyi` beside this file; each is imported when it is used. `import afm_hf` costs
next to nothing, and makes transformers' Auto classes and pipelines know our classes, see `registration.py`.
"""

import lazy_loader

from . import moved, registration

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]

registration.register()
moved.redirect()
