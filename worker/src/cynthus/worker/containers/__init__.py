"""Programs in containers: Docker or Podman, over the engine's API."""
