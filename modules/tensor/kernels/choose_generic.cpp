// Processors that the kernels are compiled for only once.
#include "generic.h"

namespace buffers::detail {

constinit const kernel_table kernels_baseline = table_of<generic>("generic");

kernel_choice choose_kernels() noexcept { return {{&kernels_baseline}, 1}; }

}  // namespace buffers::detail
