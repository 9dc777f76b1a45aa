"""Tells a person what has gone wrong and that it is over, once each: by webhook, by mail, by whatever Apprise knows."""
