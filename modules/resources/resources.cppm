// buffers.resources: where bytes come from. Needs no oneTBB.
export module buffers.resources;
export import buffers.core;
export import :adaptor;
export import :address_set;
export import :aligned;
export import :allocator;
export import :arena;
export import :bump;
export import :fallback;
export import :limit;
export import :page;
export import :retry;
export import :scope;
export import :slab;
export import :synchronized;
export import :zeroing;
