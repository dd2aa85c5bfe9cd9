// The memory under a tensor: row-major elements from a memory resource, given back by the destructor.
//
// Blocks of 1 KiB and more are aligned to 64, a cache line; smaller ones as operator new does by itself, which takes
// three times as long for more. An array of no dimensions has its one element in itself, and allocates nothing.
module;
#include <array>
#include <cstddef>
#include <memory_resource>
#include <type_traits>
#include <utility>
export module buffers.tensor:block;
import buffers.core;
import :dtype;
import :layout;

namespace buffers::detail {

template <element T, std::size_t Rank>
class block {
 public:
  // No elements: all extents are 0. With no dimensions: one element, zero.
  inline explicit block(std::pmr::memory_resource* resource) noexcept : resource_(resource) {}
  // Elements that are not initialised.
  inline block(const std::array<std::size_t, Rank>& shape, std::pmr::memory_resource* resource)
      : resource_(resource), shape_(shape) {
    if constexpr (Rank > 0) {
      const std::size_t bytes = multiply(numel(shape), sizeof(T));
      if (bytes != 0) memory_ = static_cast<T*>(resource->allocate(bytes, alignment(bytes)));
    }
  }
  // The other one has no elements afterwards (with no dimensions: what it had).
  inline block(block&& other) noexcept : resource_(other.resource_), shape_(other.shape_), memory_(other.memory_) {
    other.forget();
  }
  block& operator=(block&&) = delete;
  inline ~block() {
    if constexpr (Rank > 0)
      if (memory_ != nullptr) {
        const std::size_t bytes = size() * sizeof(T);
        resource_->deallocate(memory_, bytes, alignment(bytes));
      }
  }

  [[nodiscard]] inline T* data() noexcept {
    if constexpr (Rank == 0)
      return &memory_;
    else
      return memory_;
  }
  [[nodiscard]] inline const T* data() const noexcept { return const_cast<block*>(this)->data(); }
  [[nodiscard]] inline const std::array<std::size_t, Rank>& shape() const noexcept { return shape_; }
  [[nodiscard]] inline std::pmr::memory_resource* resource() const noexcept { return resource_; }
  [[nodiscard]] inline std::size_t size() const noexcept { return product(shape_); }

  // Precondition: the same number of elements.
  inline void reshape(const std::array<std::size_t, Rank>& shape) noexcept { shape_ = shape; }
  // Exchanges the elements; each keeps its resource. Precondition: their resources are equal.
  inline void swap_elements(block& other) noexcept {
    shape_ = std::exchange(other.shape_, shape_);
    memory_ = std::exchange(other.memory_, memory_);
  }
  // Gives the memory away: row-major elements of another shape and the same number are to give it back.
  template <std::size_t Other>
    requires(Rank > 0 && Other > 0)
  [[nodiscard]] inline block<T, Other> into(const std::array<std::size_t, Other>& shape) && noexcept {
    block<T, Other> result(resource_);
    result.adopt(memory_, shape);
    forget();
    return result;
  }
  // Precondition: no elements so far.
  inline void adopt(T* memory, const std::array<std::size_t, Rank>& shape) noexcept {
    memory_ = memory;
    shape_ = shape;
  }

 private:
  static constexpr std::size_t alignment(std::size_t bytes) noexcept {
    return bytes < 16 ? alignof(T) : bytes < 1024 ? 16 : 64;
  }
  void forget() noexcept {
    if constexpr (Rank > 0) {
      memory_ = nullptr;
      shape_ = {};
    }
  }

  std::pmr::memory_resource* resource_;
  [[no_unique_address]] std::array<std::size_t, Rank> shape_{};
  std::conditional_t<Rank == 0, T, T*> memory_{};
};

}  // namespace buffers::detail
