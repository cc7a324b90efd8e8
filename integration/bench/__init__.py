"""`make bench`: what Bartizan costs beside no filter."""
