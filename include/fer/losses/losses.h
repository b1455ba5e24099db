// All losses in one include.
#pragma once

#include "fer/losses/classification.h"
#include "fer/losses/fer_loss.h"
#include "fer/losses/landmark_loss.h"
#include "fer/losses/neaa.h"
