"""What the desktop knows, without Qt: plain state with methods, tested without a screen."""
