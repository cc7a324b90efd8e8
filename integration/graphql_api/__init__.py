"""A real GraphQL server before a model, and its official client, through the filter."""
