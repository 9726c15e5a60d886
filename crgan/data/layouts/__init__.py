"""One file a layout: what a data set is, how it lies on disk, and how it is listed."""
