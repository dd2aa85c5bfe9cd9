// buffers.resources: where bytes come from. Needs no oneTBB.
export module buffers.resources;
export import buffers.core;
export import :allocator;
export import :arena;
export import :bump;
export import :scope;
export import :slab;
