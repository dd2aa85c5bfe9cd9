// buffers.core: errors, checked arithmetic, the concepts of a resource, and what the compiler is asked for.
export module buffers.core;
export import :checked;
export import :compiler;
export import :concepts;
export import :errors;
export import :file_path;
export import :version;
