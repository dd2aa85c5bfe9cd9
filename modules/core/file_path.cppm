// How functions that read or write a file take its name, without <string> or <filesystem> in the interface.
module;
#include <concepts>
export module buffers.core:file_path;

export namespace buffers {

/// The path of a file: a C string, or anything with c_str(), as std::string and std::filesystem::path have it. It must
/// outlive the call that it is passed to. Null is the empty path, which is no file.
class file_path {
 public:
  /// Of a C string, which is not copied. Null is the empty path.
  inline file_path(const char* path) noexcept : path_(path != nullptr ? path : "") {}
  /// Of what has c_str(), which is not copied either.
  template <class Path>
    requires requires(const Path& path) {
      { path.c_str() } -> std::convertible_to<const char*>;
    }
  inline file_path(const Path& path) noexcept : path_(path.c_str()) {}
  /// Never null.
  [[nodiscard]] inline const char* c_str() const noexcept { return path_; }

 private:
  const char* path_;
};

}  // namespace buffers
