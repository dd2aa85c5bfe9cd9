// buffers.usage: how large a buffer has to be, and where the bytes go.
export module buffers.usage;
export import buffers.resources;
export import buffers.tensor;
export import :dry_run;
export import :meter;
export import :pictures;
export import :print_usage;
export import :recording;
export import :replay;
export import :trace;
