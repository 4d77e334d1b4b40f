"""Where arrays come from: files of several formats, the data sets of scikit-learn, and what a caller has in memory.

Nothing is unpickled, nothing is fetched, and nothing that a file says is run.
"""

from vspec.runtime.sources.files import open_source
from vspec.runtime.sources.opened import Held, Opened
from vspec.runtime.sources.source import FORMATS, LISTED, Source
from vspec.runtime.sources.values import opened

__all__ = ["FORMATS", "LISTED", "Held", "Opened", "Source", "open_source", "opened"]
