"""What product feeds are made of: files of rows, and how each known kind's rows become products."""
