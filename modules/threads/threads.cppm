// buffers.threads: resources for many threads: a buffer for each, and one pool for all.
export module buffers.threads;
export import buffers.resources;
export import :concurrent_pool;
export import :default_buffer;
export import :per_thread;
export import :thread_end;
export import :thread_resource;
