"""What the suites share: model sets, frames, recorded stand-ins for libraries and devices."""
