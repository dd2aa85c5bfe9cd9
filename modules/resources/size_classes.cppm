// The sizes that the pools round requests up to: multiples of 8 bytes up to 64, then four to each doubling, up to
// 1 MiB. No block is more than a quarter larger than what was asked for, from 32 bytes on. A node of three pointers
// takes 24 bytes, when it is asked for with the alignment of a pointer; with that of max_align_t it takes 32.
//
//     class  0   1   2   3 ...  7    8   9   10   11   12  ...    63
//     bytes  8  16  24  32 ... 64   80  96  112  128  160  ...  1 Mi
//
// Blocks of up to 16 KiB share a run of pages; larger ones have a run each. Those above 1 MiB have no class: they are
// as many pages as it takes.
module;
#include <bit>
#include <cstddef>
#include <cstdint>
export module buffers.resources:size_classes;
import buffers.core;

export namespace buffers::detail {

inline constexpr std::size_t page_bytes = 4096;
inline constexpr std::size_t largest_block = std::size_t{128} << 20;
/// Larger blocks than this have no class: they are as many pages as it takes.
inline constexpr std::size_t largest_listed = std::size_t{1} << 20;
inline constexpr std::size_t largest_shared_block = 16 * 1024;
inline constexpr std::size_t largest_mixed_block = 32 * 1024;  // larger ones have chunks of their own

/// The class of a block of `last + 1` bytes: from 1 to largest_listed.
[[nodiscard]] constexpr std::size_t class_up_to(std::size_t last) noexcept {
  // The place of the first bit, which is 5 at least; it and the two bits below it are the class.
  const std::size_t log = static_cast<std::size_t>(std::countl_zero(last | 32)) ^ 63;
  return worked_out(((4 * last) >> log) + 4 * log) - 20;
}
/// The class of a block of `bytes` bytes: from 1 to largest_listed.
[[nodiscard]] constexpr std::size_t class_of(std::size_t bytes) noexcept { return class_up_to(bytes - 1); }
/// `bytes` rounded up to a multiple of the alignment, less one.
[[nodiscard]] constexpr std::size_t last_byte(std::size_t bytes, std::size_t alignment) noexcept {
  return (bytes - 1) | (alignment - 1);
}
/// The class whose blocks are large enough and aligned by their place in a run: for alignments of up to a page. A
/// multiple of the alignment is followed by no size that is not one, until it is a size itself.
[[nodiscard]] constexpr std::size_t class_of(std::size_t bytes, std::size_t alignment) noexcept {
  return class_up_to(last_byte(bytes, alignment));
}
/// Whether a block that was asked for in this way has a class. For a size of 0 there is none.
[[nodiscard]] constexpr bool has_class(std::size_t bytes, std::size_t alignment) noexcept {
  return alignment <= page_bytes && last_byte(bytes, alignment) < largest_listed;
}
inline constexpr std::size_t classes = class_of(largest_listed) + 1;
inline constexpr std::size_t shared_classes = class_of(largest_shared_block) + 1;

/// The bytes of a block of this class.
[[nodiscard]] constexpr std::size_t bytes_of(std::size_t size_class) noexcept {
  if (size_class < 8) return 8 * (size_class + 1);
  return (size_class % 4 + 5) << (size_class / 4 + 2);
}
static_assert(bytes_of(classes - 1) == largest_listed && class_of(bytes_of(42)) == 42 &&
              class_of(bytes_of(42) + 1) == 43);

/// Whether a request goes to upstream as it is.
[[nodiscard]] constexpr bool is_oversize(std::size_t bytes, std::size_t alignment) noexcept {
  return bytes > largest_block || alignment > page_bytes;
}

/// How many blocks of a class share a run at most.
[[nodiscard]] constexpr std::size_t most_blocks_per_run(std::size_t size_class) noexcept {
  const std::size_t bytes = bytes_of(size_class);
  return bytes <= 128 ? 256 : bytes <= 512 ? 128 : bytes <= 2048 ? 32 : bytes <= largest_shared_block ? 8 : 1;
}
/// How many pages such a run has: as many as the blocks fill, or a little more; for those of 8 bytes, twice as many.
[[nodiscard]] constexpr std::uint32_t pages_of(std::size_t size_class) noexcept {
  const std::size_t filled = bytes_of(size_class) * most_blocks_per_run(size_class) / page_bytes;
  return filled == 0 ? 1 : static_cast<std::uint32_t>(filled);
}
/// How many blocks of the class it has.
[[nodiscard]] constexpr std::size_t blocks_per_run(std::size_t size_class) noexcept {
  const std::size_t most = most_blocks_per_run(size_class),
                    fit = pages_of(size_class) * page_bytes / bytes_of(size_class);
  return fit < most ? fit : most;
}

/// How many free blocks of a class a magazine has room for, as a rule ...
[[nodiscard]] constexpr std::size_t depth_of(std::size_t size_class) noexcept {
  const std::size_t bytes = bytes_of(size_class);
  return bytes <= 256 ? 128 : bytes <= 1024 ? 64 : bytes <= 64 * 1024 ? 32 : 8;
}
/// ... where many go that are scattered ...
[[nodiscard]] constexpr std::size_t least_depth_of(std::size_t size_class) noexcept {
  const std::size_t depth = depth_of(size_class);
  return depth < 32 ? depth : 32;
}
/// ... and where many come and go in turn: of large ones as many as 8 MiB are.
[[nodiscard]] constexpr std::size_t greatest_depth_of(std::size_t size_class) noexcept {
  const std::size_t bytes = bytes_of(size_class);
  if (bytes <= largest_shared_block) return bytes <= 1024 ? 256 : bytes <= 4096 ? 128 : 64;
  const std::size_t several = (std::size_t{8} << 20) / bytes;
  return several < 256 ? several : 256;
}

}  // namespace buffers::detail
