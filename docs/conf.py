"""How the documentation is built (`make docs`). Pages are MyST Markdown; the test suite executes their examples."""

from importlib.metadata import version as version_of

project = "Weighbridge"
author = "The Weighbridge authors"
project_copyright = author
release = version_of("weighbridge")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # `Raises:` and its like in docstrings
]

# Pages ----------------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3  # headings down to the third level can be linked to

# A link that leads nowhere is an error (`make docs` fails on warnings).
nitpicky = True
# Only the public names are described here. What else a signature mentions is described in its own module, or elsewhere.
nitpick_ignore_regex = [("py:.*", r"(?!weighbridge\.[A-Za-z]+$).*")]

# Reference ------------------------------------------------------------------------------------------------------------

autodoc_member_order = "bysource"  # a module is written to be read from top to bottom
autodoc_typehints = "description"
napoleon_numpy_docstring = False

# Appearance -----------------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"Weighbridge {release}"
html_copy_source = False
html_show_sphinx = False
