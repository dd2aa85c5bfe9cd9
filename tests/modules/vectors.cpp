// What an importer compiles elementwise loops to: vectors.sh looks at the result.
#include <cstddef>
#include <cstdint>
#include <memory_resource>
import buffers;

using buffers::axes, buffers::tensor;

void square_roots(tensor<float, 1>& to, const tensor<float, 1>& a) { to = sqrt(a); }
void conversions(tensor<std::int32_t, 1>& to, const tensor<float, 1>& a) { to = buffers::cast<std::int32_t>(a); }
void nested_choices(tensor<float, 1>& to, const tensor<float, 1>& a, const tensor<float, 1>& b) {
  to = minimum(maximum(a, b), 1.0f);
}
void largest_of_columns(tensor<std::int32_t, 1>& to, const tensor<std::int32_t, 2>& a) { to = max(a, axes<0>); }
void places(tensor<std::size_t, 1>& to, const tensor<float, 2>& a) { to = argmax(a, axes<1>); }
