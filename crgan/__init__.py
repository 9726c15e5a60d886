"""CR-GAN: instance-guided context rendering for cross-domain person re-identification."""

__version__ = "0.1.0"
