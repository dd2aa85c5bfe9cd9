// buffers.resources: where bytes come from. Needs no oneTBB.
export module buffers.resources;
export import buffers.core;
export import :allocator;
export import :arena;
export import :block_store;
export import :bump;
export import :pool;
export import :scope;
export import :size_classes;
export import :slab;
