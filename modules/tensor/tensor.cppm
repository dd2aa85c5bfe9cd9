// buffers.tensor: arrays of several dimensions that allocate from any resource.
export module buffers.tensor;
export import buffers.core;
export import :alloc;
export import :kernels;
export import :npy;
export import :views;
