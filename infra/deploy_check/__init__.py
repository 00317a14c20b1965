"""What can be checked of images, charts and dashboards without a cloud."""
