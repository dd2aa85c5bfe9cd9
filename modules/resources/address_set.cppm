// A set of blocks by their address, for resources that must know which blocks are theirs and may not write in front of
// them.
//
//     slots   ┌───┬───┬───┬───┬───┬───┬───┬───┐
//             │ a │   │ b │ c │   │   │ d │   │   each as near as can be to where its hash says, and no gap on the way
//             └───┴───┴───┴───┴───┴───┴───┴───┘
module;
#include <cstddef>
#include <cstdint>
export module buffers.resources:address_set;
import buffers.core;
import buffers.std;
import :arena;

namespace buffers::detail {

/// Up to six addresses lie in the set itself. For more, it gets a table from `memory`, 11 to 22 bytes for each of the
/// most addresses that it held, and gives it back when it has become empty. Insert and erase are O(1) on average.
class address_set {
 public:
  explicit address_set(std::pmr::memory_resource* memory) noexcept : memory_(memory) {}
  address_set(const address_set&) = delete;
  address_set& operator=(const address_set&) = delete;
  ~address_set() { give_table_back(); }

  [[nodiscard]] inline std::size_t size() const noexcept { return size_; }
  /// Adds a block that is not in the set. Throws what memory throws, and nothing is done.
  void insert(void* block);
  /// Takes a block out. False when it is not in the set.
  bool erase(const void* block) noexcept;

 private:
  static constexpr std::size_t own_slots = 8;
  static constexpr unsigned address_bits = 64;
  static_assert(sizeof(void*) * 8 == address_bits);

  [[nodiscard]] std::size_t home(const void* block) const noexcept {
    return (address(block) * 0x9e3779b97f4a7c15) >> shift_;
  }
  [[nodiscard]] std::size_t slots() const noexcept { return mask_ + 1; }
  void put(void* block) noexcept;
  void use(void** table, std::size_t slots) noexcept;
  void grow();
  void give_table_back() noexcept;

  void** table_ = own_;
  std::size_t mask_ = own_slots - 1;
  unsigned shift_ = address_bits - 3;
  std::size_t size_ = 0;
  std::pmr::memory_resource* memory_;
  void* own_[own_slots] = {};
};

}  // namespace buffers::detail
