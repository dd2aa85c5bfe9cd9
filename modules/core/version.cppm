export module buffers.core:version;

export namespace buffers {

/// The library's version, as in `find_package(buffers 0.1)`.
inline constexpr struct version_number {
  int major, minor, patch;
} version{0, 1, 0};

}  // namespace buffers
