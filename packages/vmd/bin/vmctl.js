#!/usr/bin/env node
import '../dist/vmctl.js';
