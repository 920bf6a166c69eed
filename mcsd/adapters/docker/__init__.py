"""Docker, behind `mcsd.ports.ContainerEngine`."""
