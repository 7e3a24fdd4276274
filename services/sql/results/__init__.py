"""What comes of a result: the sentence that says it, the chart, files and streams."""
