"""A seeded mix of requests, judged twice: by Bartizan in Envoy, and by Python that never saw its code."""
