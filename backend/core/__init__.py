"""What every room shares: references, ports, errors, events, view types, text sanitising. Imports no other room."""
