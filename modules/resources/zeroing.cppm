// zeroing_resource wipes what is given back: passwords and keys do not stay behind in free memory.
//
//     allocate    ┌──────────────────────┐   as upstream gives it, not zeroed
//                 │ ? ? ? ? ? ? ? ? ? ?  │
//     deallocate  ├──────────────────────┤
//                 │ 0 0 0 0 0 0 0 0 0 0  │ ─▶ upstream
//                 └──────────────────────┘
//
//   operation     cost               what it does
//   allocate      upstream's
//   deallocate    O(n) and upstream  writes zeros over the n bytes, which the optimiser cannot leave out
//
// Threads: as upstream.
//
//     buffers::zeroing_resource wiped;
//     std::pmr::string password{"a string that is too long for the object itself", &wiped};
//     password += password;                    // the old block is wiped when the string moves to a larger one
//     buffers::slab_resource scratch{{}, &wiped};  // whole slabs are wiped, with all that lay in them
module;
#include <cstddef>
export module buffers.resources:zeroing;
import buffers.core;
import buffers.std;
import :adaptor;

export namespace buffers {

/// Wipes blocks on another resource when they are deallocated. What a scope, a restore or a reset takes back is not
/// deallocated one by one: put this under such a buffer, and it is wiped when the buffer gives its memory upstream.
/// Containers keep small contents, such as those of a short string, in the object itself, which is not wiped.
class zeroing_resource final : public detail::resource_base<zeroing_resource> {
 public:
  /// In front of upstream, which must outlive this.
  inline explicit zeroing_resource(
      gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource()) noexcept
      : upstream_(upstream) {}

  /// Memory from upstream, as it is.
  /// Throws: what upstream throws; invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return detail::answer(bytes, alignment);
    return upstream_->allocate(bytes, alignment);
  }

  /// Overwrites the block with zeros and gives it upstream. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    detail::wipe(block, bytes);
    upstream_->deallocate(block, bytes, alignment);
  }

  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  std::pmr::memory_resource* upstream_;
};

}  // namespace buffers
