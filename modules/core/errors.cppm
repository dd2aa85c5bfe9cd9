// The two errors that the standard has no name for.
//
//   std::bad_alloc                 no memory
//    ├─ std::bad_array_new_length  ... because a count times a size overflows
//    └─ buffers::exhausted         ... because a fixed buffer or a budget is full
//   std::logic_error               a mistake in the program
//    ├─ std::invalid_argument      an alignment, an option, a shape, a view
//    └─ buffers::order_error       a checkpoint, scope or view at the wrong time
//
// Whatever of these a resource throws, the resource is as it was before the call. Only what lay idle in a slab or pool
// may have gone back to a limit_resource, if that makes room for the request there.
module;
#include <cstddef>
#include <new>
#include <stdexcept>
export module buffers.core:errors;

export namespace buffers {

/// A fixed buffer or a budget cannot take the request. Says how much was asked, is left, and there is at all, in bytes;
/// making one allocates nothing.
class exhausted : public std::bad_alloc {
 public:
  /// All three in bytes.
  exhausted(std::size_t requested, std::size_t available, std::size_t capacity, bool is_budget = false) noexcept;

  /// "buffers: exhausted: 64 bytes requested, 20 available, capacity 4096".
  [[nodiscard]] const char* what() const noexcept override;
  /// The bytes that were asked for: of a budget below a slab or pool, a whole slab or chunk.
  [[nodiscard]] inline std::size_t requested() const noexcept { return requested_; }
  /// The bytes that were left: of a bump_resource for a block of that alignment, else before any padding.
  [[nodiscard]] inline std::size_t available() const noexcept { return available_; }
  /// The bytes that the buffer or budget has in total.
  [[nodiscard]] inline std::size_t capacity() const noexcept { return capacity_; }
  /// Whether it is a budget, of which what is given back can be asked for again, whichever block it was.
  [[nodiscard]] inline bool is_budget() const noexcept { return is_budget_; }

 private:
  std::size_t requested_;
  std::size_t available_;
  std::size_t capacity_;
  bool is_budget_;
  char what_[127];
};

/// A checkpoint of another resource, restored out of order or older than a reset; a scope still open; a buffer that is
/// allocated from while it is reshaped, or the other way round.
class order_error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace buffers

export namespace buffers::detail {

/// Ends the program over a broken precondition that only the hardened build looks for. Not for users.
[[noreturn]] void violate(const char* what) noexcept;

// Throwing takes more code than what surrounds it: these keep it out of the callers.
[[noreturn]] void throw_bad_alloc();
[[noreturn]] void throw_bad_array_new_length();
[[noreturn]] void throw_negative(const char* what, std::ptrdiff_t value);
[[noreturn]] void throw_alignment(std::size_t alignment);
[[noreturn]] void throw_option(const char* field, const char* rule);

}  // namespace buffers::detail
