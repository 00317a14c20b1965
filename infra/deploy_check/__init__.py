"""What can be checked of images, charts and dashboards without a cloud."""


class Skipped(Exception):
    """This machine lacks what a check needs; the text says what."""
