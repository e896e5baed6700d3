"""Container engines: Docker, and Podman by the same API. Standard library only, cheap to import."""
