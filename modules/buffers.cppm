export module buffers;
export import buffers.core;
export import buffers.resources;
export import buffers.tensor;
export import buffers.threads;
export import buffers.usage;
