// aligned_resource gives every block at least an alignment of your choice, as vector instructions, pages or devices
// want it.
//
//     asked for      1    16   64   256  1024 4096
//     minimum 256    256  256  256  256  1024 4096
//
//   operation     cost        what it does
//   allocate      upstream's  asks for the greater of the two alignments
//   deallocate    upstream's  with that alignment
//
// Threads: as upstream.
//
//     buffers::slab_resource scratch;
//     buffers::aligned_resource lines{64, &scratch};
//     std::pmr::vector<float> samples(1000, &lines);
//     assert(reinterpret_cast<std::uintptr_t>(samples.data()) % 64 == 0);
module;
#include <bit>
#include <cstddef>
export module buffers.resources:aligned;
import buffers.core;
import buffers.std;
import :adaptor;

export namespace buffers {

/// A minimum alignment on another resource. Sizes are passed on as they are.
class aligned_resource final : public detail::resource_base<aligned_resource> {
 public:
  /// The greatest minimum, in bytes.
  static constexpr std::size_t greatest_alignment = std::size_t{1} << 30;

  /// Blocks from upstream, which must outlive this, aligned to `alignment` or more.
  /// Throws: invalid_argument when alignment is not a power of two up to 2^30.
  inline explicit aligned_resource(std::size_t alignment,
                                   gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource())
      : minimum_(alignment), upstream_(upstream) {
    if (!std::has_single_bit(alignment) || alignment > greatest_alignment)
      detail::throw_option("aligned_resource::alignment", "must be a power of two up to 2^30");
  }

  /// Memory from upstream, aligned to the greater of `alignment` and the minimum. So is the pointer for no bytes.
  /// Throws: what upstream throws; invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return answer(bytes, alignment);
    return upstream_->allocate(bytes, at_least(alignment));
  }

  /// Gives the block upstream. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    upstream_->deallocate(block, bytes, at_least(alignment));
  }

  /// The minimum.
  [[nodiscard]] inline std::size_t alignment() const noexcept { return minimum_; }
  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  [[nodiscard]] inline std::size_t at_least(std::size_t alignment) const noexcept {
    return alignment < minimum_ ? minimum_ : alignment;
  }
  [[gnu::cold]] void* answer(std::size_t bytes, std::size_t alignment) const {
    detail::require_alignment(alignment);  // before it is replaced
    return detail::answer(bytes, at_least(alignment));
  }

  std::size_t minimum_;
  std::pmr::memory_resource* upstream_;
};

}  // namespace buffers
