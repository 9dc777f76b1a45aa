"""The SOAP partner API: one path for all calls, told apart by the body; records go the same ways as in REST."""
