"""The engines that come with CryoMamba."""
