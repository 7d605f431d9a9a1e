"""Configuration of Sphinx; `make docs` builds the pages."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from model_zoo import tables

project = "hqsam_lightning"
author = "The hqsam_lightning authors"
version = release = installed_version("hqsam-lightning")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"hqsam_lightning {release}"
exclude_patterns = ["build"]
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_substitutions = tables()
myst_heading_anchors = 3
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_prompt_text = "$ "
